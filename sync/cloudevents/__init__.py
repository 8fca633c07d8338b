"""The cloudevents scheme, for brokers such as Azure Event Grid."""

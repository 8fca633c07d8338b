"""What administrators look after: health, concerns, sources and the audit trail."""

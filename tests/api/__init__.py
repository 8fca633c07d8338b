"""The API from outside: audits, clients and documents that are not ours."""

"""What people state of members because the portal has it wrong."""

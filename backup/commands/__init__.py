"""What is typed: backup, restore, agent."""

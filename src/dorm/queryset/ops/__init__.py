"""What querysets and instances do to databases, as operations."""

"""The table of content types."""

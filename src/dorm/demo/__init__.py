"""The demonstration behind `dorm demo`: every flight that left New York in 2013, on SQLite or PostgreSQL."""

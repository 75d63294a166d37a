"""Plans and the compiler: tables, columns and nodes; no I/O, no instances."""

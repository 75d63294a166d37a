"""`python -m dorm`."""

from dorm.cli.main import main

main()

"""A second, small implementation of Parley's rules, to compare the database with."""

"""Fuzzing of everything that reads data from outside: what is damaged is refused in one line."""

"""What is published for people to look at, and the shadow of who drives."""

"""What goes out on the command topic: the control process, its watchdog, and the link to them."""

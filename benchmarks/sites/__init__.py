"""Web applications with sessions, one for each framework: without any, with ours, and as else people have them."""

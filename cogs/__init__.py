"""What people can do: slash commands, buttons, forms; and Discord's events about servers."""

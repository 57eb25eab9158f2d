"""Every sentence that a person reads: a file for each cog, one for errors, one for what is announced."""

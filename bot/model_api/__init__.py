"""How we speak to the model API; never imports discord."""

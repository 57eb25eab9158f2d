"""bot/model_api."""

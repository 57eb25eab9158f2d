"""The try-out without a Discord account: the real bot, a stand-in model API, a conversation to see."""

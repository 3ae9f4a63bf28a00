"""Conversations and templates: messages in one form, rendered as the model's own chat template writes them."""

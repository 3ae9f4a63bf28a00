"""Answers taken apart into reasoning, content and tool calls, for each family of models."""

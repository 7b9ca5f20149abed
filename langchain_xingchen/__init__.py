"""Xingchen, Beebot and Bailian for LangChain."""

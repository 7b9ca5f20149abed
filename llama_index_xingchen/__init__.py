"""Xingchen, Beebot and Bailian for LlamaIndex."""

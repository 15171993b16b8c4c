"""The quantization lab: a tiny gpt-oss, its quantizations and servers."""

"""The quantization lab: a tiny gpt-oss, its exam, its quantizations and servers."""

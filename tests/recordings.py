"""The recorded answers beside the checkout: slug of a model → stem of its files."""

STEMS = {
    "openai-8bit": "gpt-oss-20b-gguf",
    "openai-mxfp4-gguf": "gpt-oss-20b-openai-mxfp4-gguf",
    "mlx-community-mxfp4-q8": "gpt-oss-20b-mlx-community",
    "mlx-community-mxfp4-q4": "gpt-oss-20b-mlx-q4",
    "inferenceillusionist-4bit": "gpt-oss-20b-inferenceill",
    "safeguard-mxfp4": "gpt-oss-20b-safeguard",
    "safeguard-4096": "prompt_comparison_gpt-oss-safeguard-20b-mlx-mt4096",
}

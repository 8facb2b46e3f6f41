"""Fine-tuning and export; the only part that needs torch and transformers."""

"""Networks that PaddleSeg and mmsegmentation trained and evaluated themselves, imported and evaluated here."""

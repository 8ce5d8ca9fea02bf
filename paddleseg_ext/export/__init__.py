"""Export of a trained network to Paddle Inference and ONNX, verified before a file is left behind."""

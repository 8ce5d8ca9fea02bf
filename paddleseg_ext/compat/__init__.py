"""All that depends on versions of Paddle and PaddleSeg: repairs, names that nobody promises, the environment."""

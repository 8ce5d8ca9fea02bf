"""CamVid from ImageNet weights: our heads beside PaddleSeg's networks, on one backbone under one recipe."""

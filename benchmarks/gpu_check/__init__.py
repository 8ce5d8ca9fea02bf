"""What only a GPU can tell, in one command: `bash tools/gpu_check.sh`.

`plan` lists the steps, `steps` runs them within the time, `report` writes down what came of them. Each step runs the
project's commands as a user would, in processes of their own, so that what breaks a GPU's context ends one step only.
"""

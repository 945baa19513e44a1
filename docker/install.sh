#!/bin/sh
# Installs orthanc-proxy from the source tree around this script into a virtual environment of its own.
# The image runs it, and tests/integration/test_image.py runs the same.   Usage: install.sh FOLDER
set -eu
folder=$1
cd "$(dirname "$0")/.."
python3 -m venv "$folder"
"$folder/bin/pip" install --no-cache-dir --disable-pip-version-check --no-input -qq -c constraints.txt '.[codecs]'
"$folder/bin/orthanc-proxy" version

#!/bin/sh
# Installs the server's locked dependencies into /out/opt/venv, compiled, without what serving never reads.
set -eu

epoch=$1
venv=/opt/venv

export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -qq --yes --no-install-recommends binutils python3 python3-venv >/dev/null
python3 -m venv --without-pip "$venv"
python3 -m venv /opt/installer
/opt/installer/bin/pip --python "$venv/bin/python3" install --quiet --disable-pip-version-check \
    --no-cache-dir --no-compile --no-deps --require-hashes --requirement /stages/requirements.txt \
    --report /opt/installed.json

packages=$("$venv/bin/python3" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
cd "$packages"

# ONNX Runtime's wheel holds its library twice, and tools for making models.
rm -rf onnxruntime/capi/libonnxruntime.so.* onnxruntime/transformers onnxruntime/tools \
    onnxruntime/quantization onnxruntime/datasets onnxruntime/backend
# NumPy: a compiler for Fortran, and a module that only its tests load.
rm -rf numpy/f2py numpy/_core/_simd.*.so
find . -type d \( -name tests -o -name test \) -prune -exec rm -rf {} +
# Sources and type stubs of compiled modules.
find . -type f \( -name '*.pyi' -o -name '*.pyx' -o -name '*.pxd' -o -name '*.pxi' -o -name '*.c' -o -name '*.h' \
    -o -name '*.a' \) -delete
# These wheels come with symbols. The others were edited after linking, and stripping breaks them.
find uvloop httptools tokenizers -name '*.so' -exec strip --strip-unneeded {} +
# Console scripts name the build's path; the image starts modules.
find "$venv/bin" -type f ! -name 'python*' ! -name pyvenv.cfg -delete

"$venv/bin/python3" -m compileall -q --invalidation-mode unchecked-hash "$packages"

mkdir -p /out/opt
mv "$venv" /out/opt/venv
sh /stages/normalise.sh "$epoch"

# install.sh — what ./test and ./demo share: sourced, it defines install_packages and make_venv.
#
# Whatever is fetched or made lies under build/, apart from the distribution's own packages.

PYTHON=${PYTHON:-/usr/bin/python3}
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
export PIP_CACHE_DIR="$PWD/build/cache/pip" XDG_CACHE_HOME="$PWD/build/cache"
export PYTHONPYCACHEPREFIX="$PWD/build/cache/pycache"

# install_packages PACKAGE...: installs those that are missing.
install_packages() {
    local missing=() package
    for package in "$@"; do
        dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' ||
            missing+=("$package")
    done
    [ ${#missing[@]} -eq 0 ] && return
    echo "installing ${missing[*]}"
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends \
        -o Dpkg::Use-Pty=0 "${missing[@]}" >/dev/null
}

# make_venv FOLDER REQUIREMENTS...: a virtual environment of $PYTHON with exactly pinned packages.
# It is left alone while it was made by the same Python from the same files.
make_venv() {
    local folder=$1 stamp
    shift
    stamp=$("$PYTHON" -c 'import sys; print(sys.version)' && cat "$@")
    [ "$(cat "$folder/made-from" 2>/dev/null)" = "$stamp" ] && return
    echo "making $folder"
    rm -rf "$folder"
    "$PYTHON" -m venv "$folder"
    local file
    for file in "$@"; do
        "$folder/bin/pip" install --quiet --requirement "$file"
    done
    echo "$stamp" >"$folder/made-from"
}

# What building and running needs.
build_packages=(build-essential pkg-config python3 python3-dev python3-venv
    libjansson-dev libmsgpack-dev libuv1-dev libsoxr-dev libyuv-dev libpng-dev
    libavformat-dev libavcodec-dev libavutil-dev libswresample-dev libswscale-dev)

# What the tests need besides.
test_packages=(clang clang-tidy libclang-rt-dev binutils util-linux git tmux graphviz ffmpeg
    pocketsphinx-testdata)

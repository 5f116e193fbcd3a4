#!/usr/bin/env bash
# prerequisites.sh: installs what the recipes need and this machine lacks: Debian packages, a Python environment with
# the task runner and zig, Rust and Go. What is there already is used as it is.
. "$(dirname "$0")/lib.sh"

# wanted_packages: the Debian packages that bring a command which is not there.
wanted_packages() {
    local pair
    for pair in cc:build-essential git:git jq:jq flock:util-linux mmdebstrap:mmdebstrap \
        qemu-aarch64-static:qemu-user-static shellcheck:shellcheck iptables:iptables readelf:binutils \
        runc:runc; do
        have "${pair%%:*}" || echo "${pair#*:}"
    done
    python3 -c 'import ensurepip' 2>/dev/null || echo python3-venv
    # A daemon that answers, wherever it is, needs only a client.
    have docker && { have dockerd || timeout 20 docker info >/dev/null 2>&1; } || echo docker.io
    have go || echo golang-go
    have rustup || echo rustup
}

packages() {
    local -a wanted
    mapfile -t wanted < <(wanted_packages)
    [ ${#wanted[@]} -gt 0 ] || return 0
    have apt-get || die "please install: ${wanted[*]} (only Debian's apt-get is known here)"
    step "updating Debian's package lists" apt-update as_root apt-get -q update
    case " ${wanted[*]} " in
    *" rustup "*)
        apt-cache show rustup >/dev/null 2>&1 ||
            die "this Debian has no package rustup: please install rustup by hand, then run this again"
        ;;
    esac
    # Newer releases have the client in a package of its own.
    case " ${wanted[*]} " in
    *" docker.io "*) ! apt-cache show docker-cli >/dev/null 2>&1 || wanted+=(docker-cli) ;;
    esac
    step "installing Debian packages: ${wanted[*]}" apt-install \
        as_root env DEBIAN_FRONTEND=noninteractive apt-get -q install -y --no-install-recommends "${wanted[@]}"
}

python_tools() {
    local stamp=$CACHE/venv/slipway-tools versions="rust-just==$RUST_JUST_VERSION ziglang==$ZIGLANG_VERSION"
    [ "$(cat "$stamp" 2>/dev/null)" = "$versions" ] && return
    step "making a Python environment with $versions" venv install_python_tools
    echo "$versions" >"$stamp"
}

install_python_tools() {
    [ -x "$CACHE/venv/bin/pip" ] || python3 -m venv "$CACHE/venv"
    "$CACHE/venv/bin/pip" install -q "rust-just==$RUST_JUST_VERSION" "ziglang==$ZIGLANG_VERSION"
}

# toolchain_list KEY: the strings of an array in rust-toolchain.toml.
toolchain_list() {
    awk -v key="$1" '$1 == key { on = 1 } on { print } on && /\]/ { exit }' "$ROOT/rust-toolchain.toml" |
        grep -o '"[^"]*"' | tr -d '"'
}

rust() {
    local channel targets components missing
    channel=$(sed -n 's/^channel = "\(.*\)"/\1/p' "$ROOT/rust-toolchain.toml")
    targets=$(toolchain_list targets)
    components=$(toolchain_list components)
    missing=$(comm -23 <(sort <<<"$targets") \
        <(rustup target list --installed --toolchain "$channel" 2>/dev/null | sort))
    if [ -n "$missing" ] || ! cargo "+$channel" clippy --version >/dev/null 2>&1; then
        step "installing Rust $channel" rustup rustup toolchain install "$channel" --profile minimal \
            --component "$(paste -sd, <<<"$components")" --target "$(paste -sd, <<<"$targets")"
    fi
}

# Go before 1.21 cannot fetch a newer Go by itself, but the newer Go is a module as well.
go_toolchain() {
    local minor
    minor=$(go version | sed -n 's/^go version go1\.\([0-9]*\).*/\1/p')
    if [ -n "$minor" ] && [ "$minor" -lt 21 ]; then
        step "fetching $GO_TOOLCHAIN, as Debian's Go 1.$minor is too old" go-toolchain fetch_go
    fi
}

fetch_go() {
    local architecture folder
    architecture=$(go env GOARCH)
    cd "$CACHE" || return # outside any module
    folder=$(GOFLAGS='' go mod download -json "golang.org/toolchain@v0.0.1-$GO_TOOLCHAIN.linux-$architecture" |
        jq -r .Dir)
    # Module files come read-only and not executable.
    chmod -R u+w "$folder"
    find "$folder/bin" "$folder/pkg/tool" -type f -exec chmod +x {} +
    ln -sf "$folder/bin/go" "$CACHE/bin/go"
}

# one_checkout: cargo takes what another checkout built for its own when its sources are older (both have the same paths
# below the workspace, and times are all it compares), so a checkout that takes over a target folder makes its own newer.
one_checkout() {
    local stamp=$CARGO_TARGET_DIR/checkout
    [ "$(cat "$stamp" 2>/dev/null)" = "$ROOT" ] && return
    mkdir -p "$CARGO_TARGET_DIR"
    find "$ROOT" \( -name .git -o -name target -o -name node_modules \) -prune -o \
        \( -name '*.rs' -o -name '*.toml' \) -exec touch {} +
    echo "$ROOT" >"$stamp"
}

[ "$(uname -s)" = Linux ] || die "this test bed needs Linux"
exclusively prerequisites
packages
python_tools
rust
go_toolchain
one_checkout

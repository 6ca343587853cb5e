# To be sourced: builds of Go modules.

# usage: in_go WORK ARGUMENT...
# Go with caches of its own, so that all goes that it gets, but with the user's module proxy and checksum database.
in_go() {
    env --unset=GOOS --unset=GOARCH GOTOOLCHAIN=auto GO111MODULE=on GOWORK=off GOFLAGS=-mod=mod CGO_ENABLED=0 \
        GOPATH="$1/go" GOMODCACHE="$1/go/pkg/mod" GOCACHE="$1/cache" GOBIN="$1/made" nice go "${@:2}"
}

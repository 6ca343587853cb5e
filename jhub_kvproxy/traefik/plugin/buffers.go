package kvroute

import (
	"net/http/httputil"
	"sync"
)

// Without a pool, httputil.ReverseProxy makes 32 KB of garbage for each answer.
const bufferSize = 32 * 1024

type bufferPool struct{}

var (
	pooledBuffers sync.Pool

	// The interpreter passes an object to an interface's field only if the variable has the type of the interface.
	buffers httputil.BufferPool = &bufferPool{}
)

func init() {
	pooledBuffers.New = newBuffer
}

func newBuffer() any {
	return make([]byte, bufferSize)
}

func (*bufferPool) Get() []byte {
	return pooledBuffers.Get().([]byte)
}

func (*bufferPool) Put(buffer []byte) {
	pooledBuffers.Put(buffer)
}

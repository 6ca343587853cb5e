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

func (*bufferPool) Get() []byte {
	if buffer := pooledBuffers.Get(); buffer != nil {
		return buffer.([]byte)
	}
	return make([]byte, bufferSize)
}

func (*bufferPool) Put(buffer []byte) {
	pooledBuffers.Put(buffer)
}

package kvroute

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"sort"
	"strings"
	"testing"
	"time"
)

// socketServer takes every upgrade, tells the headers that it got, and sends back what comes then.
func socketServer(t testing.TB) string {
	return raw(t, func(connection net.Conn, reader *bufio.Reader) {
		lines := readHead(reader)
		if !strings.Contains(strings.ToLower(strings.Join(lines, "|")), "upgrade:") {
			_, _ = io.WriteString(connection, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-Seen: "+strings.Join(lines, "|")+"\r\n\r\nplain")
			return
		}
		_, _ = io.WriteString(connection, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nX-Seen: "+strings.Join(lines, "|")+"\r\n\r\n")
		_, _ = io.Copy(connection, reader)
	})
}

// readHead reads the lines of a request's head, and returns them in order.
func readHead(reader *bufio.Reader) []string {
	var lines []string
	for {
		line, err := reader.ReadString('\n')
		line = strings.TrimSpace(line)
		if err != nil || line == "" {
			if len(lines) > 1 {
				sort.Strings(lines[1:])
			}
			return lines
		}
		lines = append(lines, line)
	}
}

const websocket = "Connection: Upgrade|Upgrade: websocket|Sec-WebSocket-Key: abc|Sec-WebSocket-Version: 13|Sec-WebSocket-Protocol: v1|sec-websocket-extensions: x|"

func TestWebsocketsPass(t *testing.T) {
	for name, config := range ways {
		t.Run(name, func(t *testing.T) {
			server := site(t, config, map[string]route{"": {Target: socketServer(t)}, "/user/a": {Target: socketServer(t)}})
			for _, path := range []string{"/x", "/user/a/api"} {
				c := dial(t, server)
				c.say("GET " + path + " HTTP/1.1|Host: h|" + websocket + "|")
				response, _ := c.hear(http.MethodGet)
				equal(t, "status", response.StatusCode, 101)
				seen := response.Header.Get("X-Seen")
				for _, line := range []string{"GET " + path + " HTTP/1.1", "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Key: abc", "Sec-WebSocket-Version: 13",
					"Sec-WebSocket-Protocol: v1", "Sec-WebSocket-Extensions: x", "Host: h", "X-Forwarded-For: 127.0.0.1"} {
					if !strings.Contains("|"+seen+"|", "|"+line+"|") {
						t.Errorf("%q is not in %q", line, seen)
					}
				}
				for i := range 3 {
					c.say(fmt.Sprint("hello", i))
					answer := make([]byte, 6)
					_, err := io.ReadFull(c.reader, answer)
					equal(t, "echo", fmt.Sprint(string(answer), err), fmt.Sprintf("hello%d<nil>", i))
				}
			}
		})
	}
}

func TestHTTP2DoesNotPass(t *testing.T) {
	for name, config := range ways {
		t.Run(name, func(t *testing.T) {
			server := site(t, config, map[string]route{"": {Target: socketServer(t)}, "/user/a": {Target: socketServer(t)}})
			for _, path := range []string{"/x", "/user/a/api"} {
				for _, headers := range []string{
					"Connection: Upgrade, HTTP2-Settings|Upgrade: h2c|HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA|",
					"Connection: Upgrade|Upgrade: H2C|",
					"Connection: Upgrade|Upgrade: websocket, h2c|",
					"Connection: Upgrade|Upgrade: h2c|Upgrade: websocket|",
					"Upgrade: websocket|",
					"Connection: keep-alive|Upgrade: websocket|",
				} {
					c := dial(t, server)
					c.say("GET " + path + " HTTP/1.1|Host: h|" + headers + "|")
					response, body := c.hear(http.MethodGet)
					equal(t, headers, fmt.Sprint(response.StatusCode, body), "200plain")
					if seen := strings.ToLower(response.Header.Get("X-Seen")); strings.Contains(seen, "upgrade") || strings.Contains(seen, "http2-settings") {
						t.Errorf("%s: the server has seen %s", headers, seen)
					}
				}
			}
		})
	}
	server := site(t, Config{ErrorTarget: dead(t)}, map[string]route{"": {Target: socketServer(t)}})
	c := dial(t, server)
	c.say("GET / HTTP/1.1|Host: h|Connection: Upgrade|Upgrade: web\tsocket\x80|\r\n")
	response, _ := c.hear(http.MethodGet)
	equal(t, "a protocol that cannot be printed", response.StatusCode, 400)
}

func TestAServerCannotSwitchProtocolsByItself(t *testing.T) {
	for _, answer := range []string{
		"HTTP/1.1 101 Switching Protocols|Connection: Upgrade|Upgrade: h2c||evil",
		"HTTP/1.1 101 Switching Protocols|Connection: Upgrade|Upgrade: websocket||evil",
		"HTTP/1.1 101 Switching Protocols||evil",
	} {
		backend := raw(t, func(connection net.Conn, reader *bufio.Reader) {
			readHead(reader)
			_, _ = io.WriteString(connection, strings.ReplaceAll(answer, "|", "\r\n"))
			_, _ = io.Copy(io.Discard, reader)
		})
		server := site(t, Config{ErrorTarget: dead(t)}, map[string]route{"": {Target: backend}})
		c := dial(t, server)
		c.say("GET / HTTP/1.1|Host: h|Connection: close||")
		response, body := c.hear(http.MethodGet)
		equal(t, answer, fmt.Sprint(response.StatusCode, body), "503Service Unavailable")
		if strings.HasSuffix(strings.SplitN(answer, "||", 2)[0], "websocket") {
			continue
		}
		c = dial(t, server)
		c.say("GET / HTTP/1.1|Host: h|" + websocket + "Connection: close||")
		response, body = c.hear(http.MethodGet)
		equal(t, "to a websocket: "+answer, fmt.Sprint(response.StatusCode, body), "503Service Unavailable")
	}
}

func TestAnUpgradeThatIsRefusedIsAnAnswer(t *testing.T) {
	backend := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", 403) }))
	for name, config := range ways {
		t.Run(name, func(t *testing.T) {
			server := site(t, config, map[string]route{"": {Target: backend.URL}})
			c := dial(t, server)
			for range 2 {
				c.say("GET / HTTP/1.1|Host: h|" + websocket + "|")
				response, body := c.hear(http.MethodGet)
				equal(t, "answer", fmt.Sprint(response.StatusCode, body), "403no\n")
			}
		})
	}
}

func TestAWebsocketEndsWithEitherSide(t *testing.T) {
	for name, config := range ways {
		t.Run(name, func(t *testing.T) {
			ended := make(chan bool, 2)
			backend := raw(t, func(connection net.Conn, reader *bufio.Reader) {
				readHead(reader)
				_, _ = io.WriteString(connection, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
				first, _ := reader.ReadByte()
				if first == 's' {
					return
				}
				_, _ = io.Copy(io.Discard, reader)
				ended <- true
			})
			server := site(t, config, map[string]route{"": {Target: backend}})
			c := dial(t, server)
			c.say("GET / HTTP/1.1|Host: h|" + websocket + "|")
			c.hear(http.MethodGet)
			c.say("s")
			rest, err := io.ReadAll(c.reader)
			equal(t, "when the server ends it", fmt.Sprint(string(rest), err), "<nil>")
			c = dial(t, server)
			c.say("GET / HTTP/1.1|Host: h|" + websocket + "|")
			c.hear(http.MethodGet)
			c.say("c")
			_ = c.Close()
			select {
			case <-ended:
			case <-time.After(patience):
				t.Error("the server does not hear of it when the client ends it")
			}
		})
	}
}

func TestWhatOnlyNamesAProtocolKeepsTheSpellingOfItsHeaders(t *testing.T) {
	got := raw(t, func(connection net.Conn, reader *bufio.Reader) {
		head := strings.Join(readHead(reader), " ")
		_, _ = fmt.Fprintf(connection, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(head), head)
	})
	for name, config := range ways {
		server := site(t, config, map[string]route{"": {Target: got}})
		_, body := get(t, server.URL+"/", "Upgrade", "websocket", "Sec-WebSocket-Key", "x")
		equal(t, name, strings.Contains(body, "Sec-Websocket-Key: x"), true)
	}
}

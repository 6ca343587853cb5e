module kvproxy.local/kvroute

go 1.22

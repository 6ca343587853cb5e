"""The traits of :class:`~jhub_kvproxy.hub.proxy.KVProxy`, by what they are about: classes that it inherits from."""

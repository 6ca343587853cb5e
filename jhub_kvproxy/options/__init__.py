"""The traits of :class:`~jhub_kvproxy.proxy.KVProxy`, by what they are about: classes that it inherits from."""

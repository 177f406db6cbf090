"""The versions that this program speaks of."""

PRODUCT_VERSION = "0.1.0"
# Published in the member key and over REST: members and tools compare it as Patroni's number.
COMPATIBLE_VERSION = "4.1.5"

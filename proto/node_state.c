#include "proto/node_state.h"

const char *pm_node_state_name(Pm__NodeState state)
{
	switch (state) {
	case PM__NODE_STATE__NODE_ONLINE:
		return "online";
	case PM__NODE_STATE__NODE_SUSPECT:
		return "suspect";
	case PM__NODE_STATE__NODE_DOWN:
		return "down";
	case PM__NODE_STATE__NODE_PENDING:
		return "pending";
	case PM__NODE_STATE__NODE_REJECTED:
		return "rejected";
	case PM__NODE_STATE__NODE_DENIED:
		return "denied";
	case PM__NODE_STATE__NODE_REVOKED:
		return "revoked";
	case PM__NODE_STATE__NODE_STORE_OLD:
		return "store-old";
	case PM__NODE_STATE__NODE_UNSPECIFIED:
	case _PM__NODE_STATE_IS_INT_SIZE:
		break;
	}
	return "unknown";
}

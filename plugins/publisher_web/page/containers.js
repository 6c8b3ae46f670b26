// Interfaces of containers and virtual machines, as publisher/containers.py recognises them; a test compares
// the names. Engines and hypervisors add and remove them by the hundred.

export const PATTERNS = [
  "veth*", "br-*", "docker*", "podman*", "cni*", "cbr[0-9]*", "nerdctl*",
  "cali*", "vxlan.calico", "vxlan-v6.calico", "wireguard.cali", "cilium_*", "lxc*", "flannel*", "flannel-*",
  "weave*", "vxlan-[0-9]*", "antrea-*", "kube-*", "nodelocaldns", "azv*", "genev_sys_*", "vxlan_sys_*",
  "lxd*", "incus*", "ve-*", "vb-*", "vz-*", "vt-*",
  "virbr*", "vnet*", "tap[0-9]*i[0-9]*", "fwbr*", "fwpr*", "fwln*",
  "tap????????-??", "qbr????????-??", "qvb????????-??", "qvo????????-??", "ovs-system",
];

const NAMES = new RegExp(`^(?:${PATTERNS.map(expression).join("|")})$`, "su");

function expression(pattern) {
  return pattern.replaceAll(".", "\\.").replaceAll("*", ".*").replaceAll("?", ".");
}

/** Returns whether container engines and hypervisors give such names, or make such a stack. */
export function isOfContainers(entry, lowerOnes) {
  const { alias, kind, higher, link_netnsid: other } = entry.face;
  if (NAMES.test(alias)) return true;
  if ((kind === "veth" || kind === "netkit") && other !== undefined && !/^(?:eth|en)/.test(alias)) {
    return higher.length > 0 || !Object.values(entry.families).some((part) => part.addresses.some(isGlobal));
  }
  if (kind === "tun") return higher.length > 0;
  if (kind === "bridge" || kind === "openvswitch") {
    const ports = lowerOnes(entry);
    return ports.length > 0 && ports.every((port) => isOfContainers(port, () => []));
  }
  return false;
}

const isGlobal = (address) => address.scope !== "link" && address.scope !== "interface";

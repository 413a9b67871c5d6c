//! The kernel's own forwarding and translation.

use netlab::Namespace;

use super::stand::{EXTERNAL, Site, Stand, anywhere, in_client_net, veth};
use super::{Subject, SubjectError};
use crate::end::Able;
use crate::program;

/// What users write who want masquerade.
const RULES: &str = "\
table ip nat {
  chain postrouting {
    type nat hook postrouting priority srcnat;
    oifname \"out0\" masquerade
  }
}
";

pub(super) fn stand(site: Site) -> Result<Stand, SubjectError> {
    kernel_gateway(&site, std::slice::from_ref(&site.client))?;
    site.stands(Subject::Nft, [Able::Offload; 2], &["in1", "out0"], EXTERNAL, Vec::new())
}

/// Makes the site's middle namespace a gateway for the clients, each in a network of its own.
pub fn kernel_gateway(site: &Site, clients: &[Namespace]) -> Result<(), SubjectError> {
    site.join_server()?;
    site.middle.sysctl("net.ipv4.ip_forward", "1")?;
    program::output_with(site.middle.command("nft").args(["-f", "-"]), RULES)?;
    for (nth, client) in (1..).zip(clients) {
        let device = format!("in{nth}");
        let [gateway, address] = in_client_net(nth);
        veth(client, "eth0", &site.middle, &device)?;
        client.address("eth0", address)?;
        site.middle.address(&device, gateway)?;
        client.route(anywhere(), gateway.addr())?;
    }
    Ok(())
}

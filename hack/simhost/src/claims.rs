//! What a signature adds: claims in events, a name in the inventory, and the right to have secrets.

use serde_json::{Value, json};

use crate::host::Cx;
use crate::ids;
use crate::rng::Rng;

/// Images are taken to be called like their files.
pub(crate) fn name_of(image: &str) -> String {
    let file = image.rsplit('/').next().unwrap_or(image);
    file.split(['.', ':', '@']).next().unwrap_or(file).to_owned()
}

impl Cx {
    pub(crate) fn component_name(&self, image: &str) -> Option<String> {
        self.lattice.images.is_signed(image).then(|| name_of(image))
    }

    /// The data of an event about `image`, with the claims that a signed component has.
    pub(crate) fn claimed(&self, mut data: Value, image: &str) -> Value {
        if let Some(name) = self.component_name(image) {
            let mut rng = Rng::fork(self.lattice.options.seed, image);
            data["public_key"] = ids::component_key(&mut rng).into();
            data["claims"] = json!({
                "call_alias": null,
                "issuer": ids::account_key(&mut rng),
                "tags": null,
                "name": name,
                "version": "0.1.0",
                "revision": 0,
                "not_before_human": "never",
                "expires_human": "never",
            });
        }
        data
    }
}

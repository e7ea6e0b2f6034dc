fn main() {
    print!("{}", trellis::cli::crds::render().unwrap());
}

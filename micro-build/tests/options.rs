//! Every option of `Config` has the documented effect on the output.

#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod support;

use expect_test::expect;
use micro_build::Config;
use support::{Project, code_of, contents, error_of};

const SHOP: &str = r#"
import "google/protobuf/timestamp.proto";

// Sells.
service Shop {
  // Buys.
  rpc Buy(Order) returns (Order);
}
// An order.
message Order {
  // Its number.
  string id = 1;
  bytes picture = 2;
  map<string, string> tags = 3;
  Details details = 4;
  Color color = 5;
  oneof how { string card = 6; bytes cash = 7; }
  google.protobuf.Timestamp at = 8;
}
// Details.
message Details { string text = 1; }
enum Color { COLOR_RED = 0; COLOR_BLUE = 1; }
"#;

/// Asserts that the code of `SHOP` contains `text` with the option, and not without.
fn adds(config: Config, text: &str) {
    assert!(
        !code_of(SHOP, Config::new()).contains(text),
        "`{text}` without the option"
    );
    let code = code_of(SHOP, config);
    assert!(code.contains(text), "no `{text}` with the option:\n{code}");
    syn::parse_file(&code).unwrap();
}

/// Asserts that the code of `SHOP` contains `text` without the option, and not with.
fn removes(config: Config, text: &str) {
    assert!(
        code_of(SHOP, Config::new()).contains(text),
        "no `{text}` without the option"
    );
    let code = code_of(SHOP, config);
    assert!(!code.contains(text), "`{text}` with the option:\n{code}");
    syn::parse_file(&code).unwrap();
}

#[test]
fn message_attribute_is_written_on_structs() {
    adds(
        Config::new().message_attribute(".test.Order", "#[derive(Eq)]"),
        "#[derive(Eq)]",
    );
}

#[test]
fn field_attribute_is_written_on_fields_oneofs_and_values() {
    adds(
        Config::new().field_attribute("Order.id", "#[cfg(all())]"),
        "#[cfg(all())]",
    );
    adds(
        Config::new().field_attribute("Order.how", "#[cfg(all())]"),
        "#[cfg(all())]",
    );
    adds(
        Config::new().field_attribute("COLOR_RED", "#[cfg(all())]"),
        "#[cfg(all())]",
    );
}

#[test]
fn enum_attribute_is_written_on_enums_and_oneofs() {
    adds(
        Config::new().enum_attribute(".test.Color", "#[non_exhaustive]"),
        "#[non_exhaustive]",
    );
    adds(
        Config::new().enum_attribute("Order.how", "#[non_exhaustive]"),
        "#[non_exhaustive]",
    );
}

#[test]
fn bytes_changes_the_type_of_bytes_fields() {
    adds(
        Config::new().bytes(["Order.picture"]),
        "prost::bytes::Bytes",
    );
    adds(Config::new().bytes(["Order.cash"]), "prost::bytes::Bytes");
    adds(
        Config::new().bytes(["Order.picture"]).bytes(["Order.cash"]),
        "pub picture: ::micro_runtime::codegen::prost::bytes::Bytes",
    );
}

#[test]
fn btree_map_changes_the_type_of_map_fields() {
    adds(Config::new().btree_map(["."]), "btree_map");
}

#[test]
fn boxed_boxes_the_message_of_a_field() {
    adds(
        Config::new().boxed(".test.Order.details"),
        "boxed::Box<Details>",
    );
}

#[test]
fn extern_path_replaces_generated_code() {
    removes(
        Config::new().extern_path(".test.Details", "::other::Details"),
        "pub struct Details",
    );
    adds(
        Config::new().extern_path(".test.Details", "::other::Details"),
        "::other::Details",
    );
    // A service of another crate's package is not generated.
    let package = Config::new().extern_path(".test", "::other");
    assert!(!code_of(SHOP, package).contains("trait Shop"));
}

#[test]
fn disable_comments_omits_comments() {
    for (path, comment) in [
        (".test.Shop", "Sells."),
        (".test.Shop.Buy", "Buys."),
        (".test.Order", "An order."),
        ("Order.id", "Its number."),
    ] {
        removes(
            Config::new().disable_comments([path]),
            &format!("/// {comment}"),
        );
    }
    let twice = Config::new()
        .disable_comments(["Order.id"])
        .disable_comments([".test.Details"]);
    let code = code_of(SHOP, twice);
    assert!(!code.contains("/// Its number.") && !code.contains("/// Details."));
    assert!(code.contains("/// An order."));
}

#[test]
fn options_set_on_prost_take_effect() {
    adds(
        Config::new().prost(|prost| {
            prost.retain_enum_prefix();
        }),
        "ColorRed",
    );
    adds(
        Config::new().prost(|prost| {
            prost.enable_type_names();
        }),
        "const NAME:",
    );
    adds(
        Config::new().prost(|prost| {
            prost.type_attribute(".", "#[rare]");
        }),
        "#[rare]",
    );
}

#[test]
fn trait_attribute_is_written_on_the_trait() {
    adds(
        Config::new().trait_attribute("Shop", "#[cfg(all())]"),
        "#[cfg(all())]\npub trait Shop",
    );
}

#[test]
fn client_attribute_is_written_on_the_client() {
    let config = Config::new().client_attribute(".test.Shop", "#[cfg(all())]");
    adds(
        config,
        "#[cfg(all())]\n#[derive(::core::clone::Clone, ::core::fmt::Debug)]\npub struct ShopClient",
    );
}

#[test]
fn server_attribute_is_written_on_the_server() {
    adds(
        Config::new().server_attribute(".", "#[cfg(all())]"),
        "#[cfg(all())]\npub struct ShopServer",
    );
}

#[test]
fn build_client_false_omits_the_client() {
    removes(Config::new().build_client(false), "ShopClient");
}

#[test]
fn build_server_false_omits_trait_and_server() {
    for text in ["trait Shop", "ShopServer", "macro_rules!"] {
        removes(Config::new().build_server(false), text);
    }
    let neither = Config::new().build_server(false).build_client(false);
    removes(neither, "ServiceDescriptor");
}

#[test]
fn runtime_path_replaces_the_path_of_the_runtime() {
    let code = code_of(SHOP, Config::new().runtime_path("crate::rt"));
    assert!(!code.contains("::micro_runtime"), "{code}");
    assert!(code.contains("crate::rt::call::UnaryCall<Order, Order>"));
    assert!(code.contains("crate::rt::codegen::prost::Message"));
    assert!(code.contains("crate::rt::codegen::prost_types::Timestamp"));
    // The companion table may be expanded in another crate, where `crate` is that crate.
    assert!(code.contains("runtime($crate::rt)"));
}

#[test]
fn rename_changes_rust_names_but_no_subject() {
    let config = Config::new()
        .rename(".test.Shop", "Store")
        .rename(".test.Shop.Buy", "purchase");
    let code = code_of(SHOP, config);
    for text in [
        "trait Store",
        "StoreClient",
        "StoreServer",
        "fn purchase",
        "\"test.Shop.Buy\"",
    ] {
        assert!(code.contains(text), "{text}");
    }
    assert!(!code.contains("ShopClient") && !code.contains("fn buy"));
}

fn shop() -> Project {
    Project::new(&[
        ("test.proto", &support::proto3(SHOP)),
        (
            "a/b.proto",
            "syntax = \"proto3\"; package a.b; message M {}",
        ),
        (
            "a.proto",
            "syntax = \"proto3\"; package a; import \"a/b.proto\"; message M { a.b.M m = 1; }",
        ),
        ("none.proto", "syntax = \"proto3\"; message M {}"),
    ])
}

#[test]
fn out_dir_receives_the_files() {
    let project = shop();
    let elsewhere = support::folder();
    let protos = [project.path("proto/test.proto")];
    let config = Config::new().out_dir(elsewhere.path());
    config.compile(&protos, &[project.path("proto")]).unwrap();
    let names: Vec<String> = contents(elsewhere.path()).into_keys().collect();
    assert_eq!(names, ["test.fds.bin", "test.rs"]);
}

#[test]
fn include_file_nests_the_modules_of_packages() {
    let project = shop();
    let names = ["test.proto", "a.proto", "none.proto"];
    project
        .compile(&names, Config::new().include_file("all.rs"))
        .unwrap();
    expect![[r#"
        // @generated by micro-build 0.1.0. Do not edit.
        include!("_.rs");
        #[allow(warnings, missing_docs, unreachable_pub, clippy::all, clippy::pedantic)]
        pub mod a {
            include!("a.rs");
            #[allow(warnings, missing_docs, unreachable_pub, clippy::all, clippy::pedantic)]
            pub mod b {
                include!("a.b.rs");
            }
        }
        #[allow(warnings, missing_docs, unreachable_pub, clippy::all, clippy::pedantic)]
        pub mod test {
            include!("test.rs");
        }
    "#]]
    .assert_eq(&project.output("all.rs"));
}

#[test]
fn file_descriptor_set_path_receives_all_descriptors() {
    let project = shop();
    let path = project.path("all.bin");
    project
        .compile(&["a.proto"], Config::new().file_descriptor_set_path(&path))
        .unwrap();
    let pool = prost_reflect::DescriptorPool::decode(&*std::fs::read(path).unwrap()).unwrap();
    let names: Vec<String> = pool.files().map(|file| file.name().to_owned()).collect();
    assert_eq!(names, ["a/b.proto", "a.proto"]);
}

#[test]
fn compile_descriptor_set_generates_the_same_files_as_compile() {
    let project = shop();
    let names = ["test.proto", "a.proto", "none.proto"];
    let path = project.path("all.bin");
    project
        .compile(&names, Config::new().file_descriptor_set_path(&path))
        .unwrap();
    let from_set = support::folder();
    let config = Config::new().out_dir(from_set.path());
    config
        .compile_descriptor_set(&std::fs::read(path).unwrap())
        .unwrap();
    assert_eq!(contents(&project.path("out")), contents(from_set.path()));
}

#[test]
fn patterns_that_match_nothing_list_the_candidates() {
    let config = Config::new()
        .message_attribute(".test.Ordre", "#[x]")
        .field_attribute(".test.Order.nr", "#[x]")
        .enum_attribute(".test.Order.color", "#[x]")
        .bytes([".test.Order.id"])
        .btree_map(["Details"])
        .boxed("Order.id")
        .extern_path(".tset", "::x")
        .disable_comments(["Nothing"])
        .trait_attribute(".test.Order", "#[x]")
        .client_attribute("Shops", "#[x]")
        .server_attribute(".Shop", "#[x]")
        .rename(".test", "Test");
    expect![[r#"
        12 problems
          `message_attribute(".test.Ordre")` matches no message; there are: `.test.Order`, `.test.Details`
          `field_attribute(".test.Order.nr")` matches no field; there are: `.test.Order.at`, `.test.Order.id`, `.test.Order.how`, `.test.Order.color`, `.test.Order.tags`, `.test.Order.picture`, `.test.Order.details`, `.test.Order.how.card` and 4 more
          `enum_attribute(".test.Order.color")` matches no enum; there are: `.test.Order.how`, `.test.Color`
          `bytes(".test.Order.id")` matches no field of type bytes; there are: `.test.Order.cash`, `.test.Order.picture`
          `btree_map("Details")` matches no map field; there are: `.test.Order.tags`
          `boxed("Order.id")` matches no field that holds one message; there are: `.test.Order.at`, `.test.Order.details`
          `extern_path(".tset")` matches no message or enum; there are: `.test.Order`, `.test.Color`, `.test.Details`
          `disable_comments("Nothing")` matches no message, field, enum, service or method; there are: `.test.Shop`, `.test.Color`, `.test.Order`, `.test.Details`, `.test.Shop.Buy`, `.test.Order.at`, `.test.Order.id`, `.test.Order.how` and 11 more
          `trait_attribute(".test.Order")` matches no service; there are: `.test.Shop`
          `client_attribute("Shops")` matches no service; there are: `.test.Shop`
          `server_attribute(".Shop")` matches no service; there are: `.test.Shop`
          `rename(".test")` matches no service or method; there are: `.test.Shop`, `.test.Shop.Buy`"#]].assert_eq(&error_of(SHOP, config));
}

#[test]
fn attributes_and_paths_that_are_not_rust_are_rejected() {
    let config = Config::new()
        .trait_attribute(".", "derive(Eq)")
        .rename("Shop", "a shop");
    expect![[r#"
        2 problems
          `rename("Shop", "a shop")`: unexpected token
          `trait_attribute(".", "derive(Eq)")`: unexpected token"#]]
    .assert_eq(&error_of(SHOP, config));
    expect![[r#"`runtime_path("micro runtime")`: unexpected token"#]]
        .assert_eq(&error_of(SHOP, Config::new().runtime_path("micro runtime")));
    expect![[r##"`message_attribute(".", "#[")`: cannot parse string into token stream"##]]
        .assert_eq(&error_of(SHOP, Config::new().message_attribute(".", "#[")));
    expect![[r#"`extern_path("test")` matches no message or enum; there are: `.test.Color`, `.test.Order`, `.test.Details`"#]].assert_eq(&error_of(SHOP, Config::new().extern_path("test", "::x")));
}

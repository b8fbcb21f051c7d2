//! Pages of listings: each ends with the name that the next one begins after.

use serde::Deserialize;

use crate::error::Failure;

/// What a client asks of a listing.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Pages {
    page_token: Option<String>,
    page_size: Option<usize>,
}

/// One page and the token of the next.
#[derive(Debug, PartialEq)]
pub(crate) struct Page<T> {
    pub(crate) items: Vec<T>,
    pub(crate) next: Option<String>,
}

impl Pages {
    /// The page asked for of `items`, which are in the order of their names. Without a
    /// size it holds all that is left.
    ///
    /// The token is a name and not a number, so what is created or dropped between two
    /// pages makes no other item appear twice or never.
    pub(crate) fn cut<T>(
        &self,
        items: Vec<T>,
        name: impl Fn(&T) -> &str,
    ) -> Result<Page<T>, Failure> {
        let size = self.page_size.unwrap_or(usize::MAX);
        if size == 0 {
            return Err(Failure::bad_request("pageSize is 0: it must be 1 or more"));
        }
        let after = self.page_token.as_deref().unwrap_or_default();
        let mut items = items;
        items.retain(|item| name(item) > after);
        let more = items.len() > size;
        items.truncate(size);
        let next = items
            .last()
            .filter(|_| more)
            .map(|item| name(item).to_owned());
        Ok(Page { items, next })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(token: Option<&str>, size: Option<usize>) -> Page<&'static str> {
        let pages = Pages {
            page_token: token.map(str::to_owned),
            page_size: size,
        };
        pages.cut(vec!["a", "b", "c"], |item| item).unwrap()
    }

    #[test]
    fn pages_follow_one_another_and_end() {
        let page_of = |items: &[&'static str], next: Option<&str>| Page {
            items: items.to_vec(),
            next: next.map(str::to_owned),
        };
        assert_eq!(page(None, None), page_of(&["a", "b", "c"], None));
        assert_eq!(page(Some(""), Some(2)), page_of(&["a", "b"], Some("b")));
        assert_eq!(page(Some("b"), Some(2)), page_of(&["c"], None));
        // The item a token names may be gone.
        assert_eq!(page(Some("aa"), Some(3)), page_of(&["b", "c"], None));
        assert_eq!(page(Some("c"), Some(3)), page_of(&[], None));
    }

    #[test]
    fn a_page_of_nothing_is_refused() {
        let pages = Pages {
            page_size: Some(0),
            ..Pages::default()
        };
        assert!(pages.cut(vec!["a"], |item| item).is_err());
    }
}
